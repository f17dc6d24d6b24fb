# Bash reads this file before a step's script. At the command that ends the script, it writes the line, the exit codes of
# the pipeline and the command to a file of the agent. Only the step's own shell does so, not its programs and subshells.
unset BASH_ENV
set -E
_tell='_codes=("${PIPESTATUS[@]}"); [[ $- == *e* && $BASH_SUBSHELL == 0 ]] && { printf "%s " "$LINENO"; '
_tell+='printf "%s," "${_codes[@]}"; printf " %s\n\0" "$BASH_COMMAND"; } 2>/dev/null >&'
trap "$_tell$FAILING_COMMAND_FD" ERR
unset FAILING_COMMAND_FD _tell

"""The files of jobs on disk: folders, uploads, ZIPs."""

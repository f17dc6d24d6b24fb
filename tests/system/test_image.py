"""The agent's image: fonts for the world's scripts, locales, time zones, tools, and no windows that wait for a user."""

from __future__ import annotations

import json

import pytest

from tests.support.steps import python, shell
from tests.support.system import System

TEXTS = {
    "Chinese": "特性", "Japanese": "日本語かな", "Korean": "한국어", "Thai": "ภาษาไทย", "Hindi": "हिन्दी",
    "Arabic": "العربية", "Hebrew": "עברית", "emoji": "😀🎉", "Bengali": "বাংলা", "Tamil": "தமிழ்",
    "Telugu": "తెలుగు", "Kannada": "ಕನ್ನಡ", "Malayalam": "മലയാളം", "Gujarati": "ગુજરાતી", "Punjabi": "ਪੰਜਾਬੀ",
    "Odia": "ଓଡ଼ିଆ", "Sinhala": "සිංහල", "Khmer": "ខ្មែរ", "Lao": "ລາວ", "Burmese": "မြန်မာ",
    "Amharic": "አማርኛ", "Tibetan": "བོད་སྐད", "Georgian": "ქართული", "Armenian": "հայերեն",
}  # fmt: skip

FIGURE = """
import warnings
warnings.simplefilter("error")
import matplotlib.pyplot as plt
{settings}
for place, text in enumerate({texts!r}):
    plt.text(0, place / 30, text)
plt.title("Titel " + {texts!r}[0])
plt.savefig("figure.png")
plt.savefig("figure.svg")
"""


@pytest.mark.parametrize(
    "settings",
    ["", "plt.rcParams['font.family'] = 'monospace'", "plt.rcParams['font.sans-serif'] = ['SimHei', 'Arial']"],
    ids=["default", "another family", "a font that is not there"],
)
def test_matplotlib_draws_the_worlds_scripts_without_a_box(system: System, settings: str) -> None:
    code = FIGURE.format(texts=list(TEXTS.values()), settings=settings)
    job = system.submit(steps=[python(code), shell(f"cat > draw.py <<'END'\n{code}\nEND\npython draw.py")])
    system.completed(job)
    assert "missing from font" not in system.output(job)


PICTURES = """
from PIL import Image, ImageDraw, ImageFont

def drawn(text, font):
    image = Image.new("L", (300, 60))
    ImageDraw.Draw(image).text((5, 5), text, fill=255, font=font)
    return image.tobytes()

for font in (None, ImageFont.load_default(20), ImageFont.truetype("DejaVuSans.ttf", 20)):
    box = drawn("\\U0010fffd", font)
    for name, text in {texts!r}.items():
        for character in text:
            if character.isalpha() and drawn(character, font) == box:
                print("a box:", name, character)
draw = ImageDraw.Draw(Image.new("L", (9, 9)))
print(draw.textlength("日本語") > 20, draw.textbbox((0, 0), "ไทย")[2] > 10)
"""


def test_pillow_draws_the_worlds_scripts_without_a_box(system: System) -> None:
    job = system.submit(steps=[python(PICTURES.format(texts=TEXTS))])
    system.completed(job)
    assert system.output(job) == "True True\n"


@pytest.mark.parametrize(
    "choice",
    [
        "import matplotlib\nmatplotlib.use('TkAgg')",
        "import matplotlib\nmatplotlib.use('Qt5Agg')",
        "import matplotlib.pyplot as plt\nplt.switch_backend('GTK3Agg')",
        "import matplotlib.pyplot as plt\nplt.rcParams['backend'] = 'WXAgg'",
        "%matplotlib tk",
        "%matplotlib widget",
    ],
)
def test_a_backend_with_windows_becomes_one_without_and_says_so(system: System, choice: str) -> None:
    job = system.python(f"{choice}\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    system.completed(job)
    assert "is replaced, because no user can close its windows" in system.output(job)
    assert system.zip(job).paths == {"figures/figure-1.png"}


def test_a_script_with_a_backend_for_windows_goes_on_without_them(system: System) -> None:
    code = "import matplotlib\nmatplotlib.use('TkAgg')\nimport matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()\n"
    job = system.shell(f"cat > draw.py <<'END'\n{code}plt.savefig('a.png')\nEND\npython draw.py")
    system.completed(job)
    assert "TkAgg is replaced" in system.output(job) and "a.png" in system.zip(job).paths


def test_a_window_of_tk_opens_on_the_display(system: System) -> None:
    code = "import tkinter\nwindow = tkinter.Tk()\nwindow.update()\nprint(window.winfo_viewable())\nwindow.destroy()"
    job = system.python(code)
    system.completed(job)
    assert system.output(job) == "1\n"


def test_a_locale_is_there_under_both_of_its_names(system: System) -> None:
    names = ["de_DE", "en_US", "en_GB", "fr_FR", "es_ES", "it_IT", "ja_JP", "ko_KR", "zh_CN", "pt_BR", "ru_RU", "pl_PL"]
    code = f"""
import locale
for name in {names!r}:
    locale.setlocale(locale.LC_ALL, name)
    locale.setlocale(locale.LC_ALL, f"{{name}}.UTF-8")
locale.setlocale(locale.LC_ALL, "de_DE.UTF-8")
print(locale.format_string("%.2f", 1234.5, grouping=True))
"""
    job = system.submit(steps=[python(code), shell("LC_ALL=fr_FR.UTF-8 date -d 2026-08-01 +%B")])
    system.completed(job)
    assert system.output(job) == "1.234,50\naoût\n"


def test_an_unknown_locale_says_where_the_known_ones_are(system: System) -> None:
    found = system.run(steps=[python("import locale\nlocale.setlocale(locale.LC_ALL, 'xx_YY.UTF-8')")])
    assert "`locale -a` lists the image's locales" in found["detail"]


def test_every_time_zone_works_in_programs_and_in_python(system: System) -> None:
    zones = "Europe/Berlin America/New_York Asia/Kolkata Asia/Calcutta US/Pacific Europe/Kiev Europe/Kyiv GMT+0 EST5EDT"
    script = f"for zone in {zones}; do test -e /usr/share/zoneinfo/$zone; done\nTZ=US/Pacific date -d @0 +%H"
    job = system.submit(
        steps=[
            shell(script),
            python("import zoneinfo\nfor name in zoneinfo.available_timezones(): zoneinfo.ZoneInfo(name)"),
        ]
    )
    system.completed(job)
    assert system.output(job) == "16\n"


def test_the_tools_of_a_terminal_are_there(system: System) -> None:
    tools = "less man nano vi vim ssh scp jq file wget tree bc xxd rsync sqlite3 ps top"
    script = f"for t in {tools}; do command -v $t > /dev/null || echo no $t; done\nman ls | grep -c 'list directory'"
    job = system.shell(script)
    system.completed(job)
    assert system.output(job) == "1\n"


def test_npm_and_pip_say_at_once_that_there_is_no_network(system: System) -> None:
    for command in ("npm install left-pad", "pip install polars"):
        found = system.run(steps=[shell(command, seconds=30)])
        assert found["reason"] == "step_failed" and '"network": "internet"' in found["detail"], found
    names = "PIP_RETRIES npm_config_fetch_retries"
    job = system.shell(f"for name in {names}; do echo ${{!name-unset}}; done", network="internet")
    if system.ended(job)["status"] == "completed":  # a machine without a bridge has no job with network
        assert system.output(job) == "unset\nunset\n"


def test_what_is_left_running_is_named_where_it_ends(system: System) -> None:
    job = system.submit(
        steps=[
            shell("sleep 300 & sleep 301 & echo begun"),
            shell("sleep 0.01 & echo done"),
            python("import subprocess\nprocess = subprocess.Popen(['sleep', '302'])\ndisplay(1)"),
        ]
    )
    system.completed(job)
    first = '[… ended with the step that left it running: `sleep 300`, `sleep 301`. A step with "background": true'
    assert system.output(job, 1).startswith(f"begun\n{first}"), system.output(job, 1)
    assert system.output(job, 2) == "done\n"
    assert "`sleep 302`" in system.output(job, 3)


@pytest.mark.parametrize(
    ("script", "check", "words"),
    [
        (
            "true",
            "grep -q 42 /dev/null",
            "The check ended with exit code 1 (`grep -q 42 /dev/null`) and printed nothing",
        ),
        ("true", "exit 3", "The check ended with exit code 3 (`exit 3`) and printed nothing"),
        ("true", "true\ntest 1 = 2", "(line 2: `test 1 = 2`)"),
        ("cd /tmp\n\ngrep x /dev/null", "", "exit code 1 (line 3: `grep x /dev/null`) and printed nothing"),
        ("true\necho a | grep b | cat", "", "(line 2: `echo a | grep b | cat`, with exit codes 0, 1, 0)"),
    ],
)
def test_a_command_that_failed_without_a_word_is_named(system: System, script: str, check: str, words: str) -> None:
    found = system.run(steps=[shell(script)], **({"check": check} if check else {}))
    assert words in found["detail"], found["detail"]


@pytest.mark.parametrize(
    ("made", "wanted"), [("result.TXT", "result.txt"), ("reslt.csv", "result.csv"), ("out/Chart.PNG", "*.png")]
)
def test_a_missing_output_names_the_file_that_is_nearly_it(system: System, made: str, wanted: str) -> None:
    found = system.run(steps=[shell(f"mkdir -p out; echo 1 > {made}")], outputs=[wanted])
    assert f"Nothing matches '{wanted}', but there is '{made}'" in found["detail"], found["detail"]


def test_a_source_in_windows_line_ends_and_fences_runs_as_it_was_meant(system: System) -> None:
    loop = "for i in 1 2; do\r\n  echo $i\r\ndone\r\n"
    job = system.submit(
        steps=[
            shell(f"```bash\r\n{loop}```"),
            python("\ufeffprint(3)\r\nif True:\r\n    display(4)\r\n"),
            {"kind": "file", "path": "run.sh", "content": f"#!/bin/bash\r\n{loop}"},
            shell("bash run.sh; mkdir out; echo 1 > out/a"),
        ],
        check="grep -q 1 out/a\r\n",
        outputs=["out/", "/workspace/run.sh"],
    )
    system.completed(job)
    assert system.output(job) == "1\n2\n3\n1\n2\n"


def test_a_block_of_a_prompt_that_names_its_file_is_saved_and_runs(system: System) -> None:
    blocks = ["python\n# filename: x.py\nprint('hi')", "json\n// filename: data.json\n[1]", "bash\npython x.py"]
    prompt = "\ufeff" + "\n\n".join(f"```{block}\n```" for block in blocks)
    job = system.submit(prompt=prompt)
    system.completed(job)
    assert system.output(job) == "hi\nhi\n"
    assert json.loads(system.zip(job).text("data.json")) == [1]

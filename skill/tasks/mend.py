"""Small projects with a failing test: find and fix the fault."""

from __future__ import annotations

from pathlib import Path

from skill.looking import need, run, same, tested, tests_pass
from skill.task import Task

INVOICE = '''"""Invoices with discounts and VAT. All amounts are in cents."""

from rates import vat_rate


def line_total(price, quantity, discount=0):
    """The discount is in percent."""
    return round(price * quantity * (1 - discount))


def invoice_total(lines, country):
    net = sum(line_total(**line) for line in lines)
    return net + round(net * vat_rate(country) / 100)
'''

RATES = '''"""VAT rates in percent."""

RATES = {"DE": 19, "FR": 20, "CH": 8.1}


def vat_rate(country):
    return RATES[country]
'''

INVOICE_TEST = """import unittest

from invoice import invoice_total, line_total


class InvoiceTest(unittest.TestCase):
    def test_line_without_discount(self):
        self.assertEqual(line_total(250, 4), 1000)

    def test_line_with_discount(self):
        self.assertEqual(line_total(1000, 2, discount=10), 1800)

    def test_invoice(self):
        lines = [{"price": 1000, "quantity": 1, "discount": 50}, {"price": 500, "quantity": 1}]
        self.assertEqual(invoice_total(lines, "DE"), 1190)


if __name__ == "__main__":
    unittest.main()
"""

SCHEDULE = '''"""Meetings of a day."""


def minutes(clock):
    hours, rest = clock.split(":")
    return int(hours) * 60 + int(rest)


def overlaps(first, second):
    """Whether two meetings, each (begin, end), overlap. One may begin when the other ends."""
    return minutes(first[0]) <= minutes(second[1]) and minutes(second[0]) <= minutes(first[1])


def add(meeting, agenda=[]):
    """Return a new agenda with the meeting, sorted by time; raise ValueError where it overlaps another one."""
    if any(overlaps(meeting, other) for other in agenda):
        raise ValueError("overlap")
    agenda.append(meeting)
    agenda.sort()
    return agenda
'''

SCHEDULE_TEST = """from schedule import add, overlaps


def test_meetings_that_touch_do_not_overlap():
    assert not overlaps(("9:00", "10:00"), ("10:00", "11:00"))


def test_each_call_without_agenda_starts_a_new_one():
    assert add(("13:00", "14:00")) == [("13:00", "14:00")]
    assert add(("8:00", "9:30")) == [("8:00", "9:30")]


def test_agenda_is_sorted_by_time():
    agenda = add(("10:00", "11:00"))
    assert add(("9:00", "9:30"), agenda) == [("9:00", "9:30"), ("10:00", "11:00")]


if __name__ == "__main__":
    test_meetings_that_touch_do_not_overlap()
    test_each_call_without_agenda_starts_a_new_one()
    test_agenda_is_sorted_by_time()
    print("ok")
"""

SCHEDULE_GOOD = (
    SCHEDULE.replace("<=", "<")
    .replace("agenda=[]", "agenda=()")
    .replace(
        "    agenda.append(meeting)\n    agenda.sort()\n    return agenda\n",
        "    return sorted([*agenda, meeting], key=lambda one: minutes(one[0]))\n",
    )
)

QUEUE = """// A queue of tasks with priorities: the highest comes first, equal ones in the order in which they came.
class TaskQueue {
  constructor() { this.tasks = []; }

  push(name, priority = 0) {
    this.tasks.push({ name, priority: priority || 1 });
    this.tasks.sort((a, b) => a.priority - b.priority);
  }

  pop() {
    const task = this.tasks.pop();
    return task.name;
  }

  get size() { return this.tasks.length; }
}

module.exports = { TaskQueue };
"""

QUEUE_TEST = """const assert = require('assert');
const { TaskQueue } = require('./queue');

const queue = new TaskQueue();
assert.strictEqual(queue.pop(), undefined, 'an empty queue gives undefined');
queue.push('first', 5);
queue.push('second', 5);
queue.push('urgent', 9);
assert.strictEqual(queue.pop(), 'urgent');
assert.strictEqual(queue.pop(), 'first', 'equal priorities keep their order');
assert.strictEqual(queue.size, 1);
queue.push('later');
assert.strictEqual(queue.pop(), 'second');
console.log('ok');
"""

QUEUE_GOOD = (
    QUEUE.replace("priority: priority || 1", "priority")
    .replace("a.priority - b.priority", "b.priority - a.priority")
    .replace("this.tasks.pop();\n    return task.name;", "this.tasks.shift();\n    return task && task.name;")
)


def unchanged(here: Path, given: Path, *names: str) -> None:
    for name in names:
        need((here / name).is_file(), f"{name} is missing")
        same((here / name).read_text().strip(), (given / name).read_text().strip(), f"{name} was changed")


def judge_invoice(here: Path, given: Path) -> None:
    unchanged(here, given, "test_invoice.py")
    need(tests_pass(here, "test_invoice.py"), "test_invoice.py does not pass")
    tested(
        "invoice.py",
        """
from invoice import invoice_total, line_total
check("line_total(999, 3, 25)", 2248)
check("line_total(100, 1, 100)", 0)
check("line_total(333, 1)", 333)
check("invoice_total([{'price': 10000, 'quantity': 2, 'discount': 5}], 'CH')", 20539)
check("invoice_total([], 'FR')", 0)
""",
    )(here, given)


def judge_schedule(here: Path, given: Path) -> None:
    unchanged(here, given, "test_schedule.py")
    need(tests_pass(here, "test_schedule.py"), "test_schedule.py does not pass")
    tested(
        "schedule.py",
        """
from schedule import add, overlaps
check("overlaps(('9:00', '10:00'), ('9:59', '11:00'))", True)
check("overlaps(('9:00', '12:00'), ('10:00', '11:00'))", True)
check("overlaps(('11:00', '12:00'), ('10:00', '11:00'))", False)
check("add(('10:00', '11:00'), [('9:00', '9:30')])", [('9:00', '9:30'), ('10:00', '11:00')])
raises(ValueError, "add(('9:10', '9:20'), [('9:00', '9:30')])")
check("add(('7:00', '7:30'))", [('7:00', '7:30')])
""",
    )(here, given)


def judge_queue(here: Path, given: Path) -> None:
    unchanged(here, given, "test.js")
    same(run(here, ["node", "test.js"]).returncode, 0, "the exit code of node test.js")
    tested(
        "queue.js",
        """
const q = new it.TaskQueue();
q.push('none'); q.push('one', 1); q.push('minus', -1); q.push('two', 1);
check("[q.pop(), q.pop(), q.pop(), q.pop(), q.pop()]", ['one', 'two', 'none', 'minus', undefined]);
check("q.size", 0);
""",
    )(here, given)


TASKS = [
    Task(
        "mend-invoice",
        "The tests in test_invoice.py fail. Find the bug and fix it in invoice.py; do not change the tests.",
        judge_invoice,
        {"invoice.py": INVOICE, "rates.py": RATES, "test_invoice.py": INVOICE_TEST},
        "invoice.py",
        reference={"invoice.py": INVOICE.replace("(1 - discount)", "(100 - discount) / 100")},
        wrong=(
            {"test_invoice.py": "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        pass\n"},
            {"invoice.py": INVOICE.replace("(1 - discount)", "(1 - discount / (100 if discount > 9 else 1))")
                .replace("return round(", "return int(")},
        ),
    ),
    Task(
        "mend-schedule",
        "schedule.py has bugs: the tests in test_schedule.py fail. Please fix schedule.py so that they pass, and leave the "
        "tests as they are.",
        judge_schedule,
        {"schedule.py": SCHEDULE, "test_schedule.py": SCHEDULE_TEST},
        "schedule.py",
        reference={"schedule.py": SCHEDULE_GOOD},
        wrong=({"schedule.py": SCHEDULE.replace("<=", "<")},),
    ),
    Task(
        "mend-queue",
        "`node test.js` fails. Fix queue.js so that it does what its first comment says and the test passes. test.js stays as "
        "it is.",
        judge_queue,
        {"queue.js": QUEUE, "test.js": QUEUE_TEST},
        "queue.js",
        reference={"queue.js": QUEUE_GOOD},
        wrong=({"queue.js": QUEUE_GOOD.replace("name, priority }", "name, priority: priority || 1 }")},),
    ),
]  # fmt: skip

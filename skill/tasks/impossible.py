"""Impossible tasks: the job must fail, and say what it needs."""

from __future__ import annotations

from skill.task import Task

TASKS = [
    Task(
        "missing-contract",
        "Read the contract in contract.pdf and write a summary of one page to summary.md.",
        need=r"contract\.pdf",
        reference={"detail": "I need the file contract.pdf, which is not there."},
    ),
    Task(
        "missing-year",
        "Compare the totals of sales_2025.csv and sales_2026.csv and write the growth in percent to growth.txt.",
        files={"sales_2026.csv": "month,amount\n1,1200\n2,1350\n3,990\n"},
        need=r"sales_2025",
        reference={"detail": "The file sales_2025.csv is missing; please upload it."},
    ),
    Task(
        "missing-secret",
        "Upload report.txt to our FTP server ftp.example.org. The user is reports and the password is in the secret "
        "FTP_PASSWORD. Write the answer of the server to upload.log.",
        files={"report.txt": "Revenue is up by 3 %.\n"},
        need=r"FTP_PASSWORD|password|secret|network|internet",
        reference={"detail": "The secret FTP_PASSWORD was not given, and there is no network."},
    ),
    Task(
        "missing-network",
        "Download the current exchange rates from https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml and save the "
        "rate of the US dollar in rate.txt.",
        need=r"network|internet|resolve|reach|connect|offline",
        reference={"detail": "This needs network access: send the job with network internet."},
    ),
    Task(
        "missing-database",
        "Count the customers in our PostgreSQL database at db.internal.example.com and write the number to customers.txt.",
        need=r"network|database|db\.internal|credential|password|connect|reach|resolve",
        reference={"detail": "The database at db.internal.example.com cannot be reached from here."},
    ),
]

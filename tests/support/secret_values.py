"""Secrets of every shape."""

from __future__ import annotations

import base64
import random

TOKEN = "tok-Kq4/Zw+9s=Lm2 #7"


QUOTED = 'it\'s "p&q" \\ 100%, ü'


PEM = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n".format(
    "\n".join(base64.b64encode(random.Random(1).randbytes(48)).decode()[:64] for _ in range(3))  # noqa: S311
)


SECRETS = {"TOKEN": TOKEN, "QUOTED": QUOTED, "DEPLOY_KEY": PEM}

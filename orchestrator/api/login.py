"""The login of browsers at the port of the API. The gateway's ports have the same page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from orchestrator.api.context import Here

router = APIRouter(include_in_schema=False)

#: The page that a browser sees after its login if it wanted no other.
DEFAULT = "/docs"


@router.api_route("/login", methods=["GET", "HEAD", "POST"])
async def login(
    request: Request, here: Here, next: Annotated[str, Query(description="The address to open then.")] = ""
) -> Response:
    return await here.login.answer(request, DEFAULT)


@router.post("/logout")
async def logout(here: Here) -> Response:
    return here.login.leave()

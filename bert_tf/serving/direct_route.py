"""A route for short requests, without FastAPI's checks."""

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response


class DirectRoute(APIRoute):
    """A route that FastAPI describes, but whose requests it does not check.

    Its checks of one parameter take as long as all else that a short request
    needs here. The endpoint gets the parts of the address as they are.
    """

    def get_route_handler(self) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            return await self.endpoint(request, **request.path_params)

        return handle

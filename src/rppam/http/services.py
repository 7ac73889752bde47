"""How a route gets at the services of slices: ``services.get(Lockouts)``, with a parameter ``services: Here``."""

from typing import Annotated

from fastapi import Depends, Request

from rppam.kernel.services import Services


async def _services(request: Request) -> Services:  # asynchronous, or the framework would send it to a thread
    services: Services = request.app.state.services
    return services


Here = Annotated[Services, Depends(_services)]
"""The services of this process."""

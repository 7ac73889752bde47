"""How a route gets at the services of slices: ``services.get(Lockouts)``, with a parameter ``services: Here``."""

from typing import Annotated

from fastapi import Depends, Request

from rppam.kernel.services import Services


def services_of(request: Request) -> Services:
    """The services of this process, for a route that is asked so often that a parameter would be felt."""
    services: Services = request.app.state.services
    return services


async def _services(request: Request) -> Services:  # asynchronous, or the framework would send it to a thread
    return services_of(request)


Here = Annotated[Services, Depends(_services)]
"""The services of this process."""

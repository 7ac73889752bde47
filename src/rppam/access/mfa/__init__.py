"""The second factor."""

from typing import TYPE_CHECKING

from rppam.kernel.slice import Slice, exports

if TYPE_CHECKING:
    from rppam.access.mfa.keys import data_keys_of as data_keys_of
    from rppam.access.mfa.ports import SecondFactor as SecondFactor, SecondStep as SecondStep
    from rppam.access.mfa.service import SecondFactors as SecondFactors
    from rppam.access.mfa.store import SqlFactors as SqlFactors
    from rppam.access.mfa.store_port import FactorStore as FactorStore

SLICE = Slice(
    name="mfa",
    package=__name__,
    wire="wiring:wire",
    routes=("api:mfa",),
    settings=("policy:MFA",),
)

__getattr__ = exports(
    __name__,
    keys="data_keys_of",
    ports="SecondFactor SecondStep",
    service="SecondFactors",
    store="SqlFactors",
    store_port="FactorStore",
)

"""What a billing period begins with: the state that one period hands to the next."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import msgspec

from rating.commitments import Left
from rating.totals import Total


class Invoiced(NamedTuple):
    """What an earlier invoice has asked for a price of this period, in minor units' digits."""

    plan: str
    price: str
    amount: Decimal


class Opening(msgspec.Struct, frozen=True):
    """The state at the start of the period that holds `at`; of a new contract all but `at` is empty.

    A commitment or credit that is not named is whole. `used` is usage of the period from before the contract, which
    tiers_on_change = "continue" counts. Commitments are exact, credits in minor units' digits.
    """

    at: datetime
    commitments: Mapping[str, Left] = {}
    credits: Mapping[str, Decimal] = {}
    used: tuple[Total, ...] = ()
    invoiced: tuple[Invoiced, ...] = ()

"""Exact pricing of usage: pure functions of prices and quantities. Imports none of the project's other packages."""

from rating.billing import rate_period
from rating.quotes import Quote, marginal, quote
from rating.rated import RatedPeriod

__all__ = ["Quote", "RatedPeriod", "marginal", "quote", "rate_period"]

"""Exact pricing of usage: pure functions of prices and quantities. Imports none of the project's other packages."""

from rating.quotes import Quote, marginal, quote

__all__ = ["Quote", "marginal", "quote"]

"""`alert`: budgets, watched over."""

from cyclopts import App

from tollstream.failures import OK
from tollstream.place import Where, check_broker
from tollstream.running import GROUP
from tollstream.show import say


def register(app: App) -> None:
    app.command(alert, group=GROUP)


def alert(*, place: Where) -> int:
    """Publish an alert each time that an account's rated total of a period passes a budget, until stopped.

    Budgets stand in the configuration as [[alerts.budgets]] with account, currency and amount. Alerts go to the topic
    usage.alerts, each crossing once.

    ```
    tollstream alert
    ```
    """
    config = place.load()
    check_broker(config.settings.kafka)
    from processors.alert import run

    budgets = config.settings.alerts.budgets
    say(f"watching {len(budgets)} budgets" if budgets else "no [[alerts.budgets]] is configured: nothing to watch for")
    run(config.settings)
    return OK

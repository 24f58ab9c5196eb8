"""Actions again and again, by distance or by calendar."""

from components.schedule.timers import Cron, Timer

__all__ = ["Cron", "Timer"]

"""Schedules: tasks that start by themselves, at the times of a cron expression or an interval."""

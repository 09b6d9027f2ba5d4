"""Create the account `admin` of Airflow; the environment has its password and the database."""

import os

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

with get_application_builder() as builder:
    manager = builder.sm
    if manager.find_user("admin") is None:
        role = manager.find_role("Admin")
        manager.add_user("admin", "Admin", "Admin", "admin@localhost", role, os.environ["ADMIN_PASSWORD"])

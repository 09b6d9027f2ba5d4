"""Airflow and MLflow on this machine."""

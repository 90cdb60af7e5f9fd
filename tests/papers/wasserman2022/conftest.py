"""The synthetic run folder of the report's tests."""

from tests.report.conftest import make_run, whole_run, written

__all__ = ["make_run", "whole_run", "written"]

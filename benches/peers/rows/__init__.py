"""A module a row (or a few of the same work): run(context) yields what harness.row makes."""

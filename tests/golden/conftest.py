"""The scripts here run in other libraries' environments: pytest must not import them."""

collect_ignore_glob = ["make_*.py", "check_*.py"]

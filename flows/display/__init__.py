"""What people see of a study: while it runs, at its end, and later in MLflow.

While it runs: `progress` (its state and the log lines), `terminal`, `prefect_page`.
At its end: `summary` (the record), as lines (`summary_text`) and as Markdown
(`summary_markdown`), and `publish`, which sends all of it to MLflow and Prefect.
Later, from the store: `stored_facts`, on a terminal (`stored_text`) and as one HTML file
(`stored_page`).
"""

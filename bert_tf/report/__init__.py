"""Pages that show what a run did: report.html, from a run's folder alone."""

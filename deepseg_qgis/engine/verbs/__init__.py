"""One module per verb: ``run(job, control)`` does the job and returns its results."""

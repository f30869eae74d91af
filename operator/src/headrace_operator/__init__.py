"""The operator: turns PipelineRuns into attempts of batch jobs on Kubernetes."""

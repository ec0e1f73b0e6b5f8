"""Systems Manager: parameters, Run Command and its agents."""

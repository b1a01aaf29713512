"""MEASURE: the context that a score needs: confidence intervals, baselines and remarks."""

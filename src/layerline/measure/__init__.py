"""MEASURE: what stands beside a figure, so that it is not taken for more than it is: intervals, baselines, remarks."""

"""Channel-wise NNK graphs in float64, written from the definitions: what chanscope is checked against."""

"""A miniature world on which the whole DeepSeek-R1 recipe runs in minutes on a CPU.

`r1data.mini.world` is the grammar of the world and its tables; `r1data.mini.model` its tokenizer
and its fresh models. Importing this package loads neither.
"""

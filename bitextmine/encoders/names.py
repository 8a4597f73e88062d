"""Names that the command line needs before anything heavy is imported."""

M_ST5 = "m-st5"
M_ST5_BASE = "google/mt5-xxl"
M_ST5_ADAPTER = "pkshatech/m-ST5"

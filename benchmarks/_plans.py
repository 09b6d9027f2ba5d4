"""What `brats plan` derives for the recipes by regions on CPUs, in float32, of heads of the true size."""

PLANNED = {
    "regions2d": {"patch": [160, 192], "batch": 8, "filters": [32, 64, 96, 128, 160, 192]},
    "regions3d": {"patch": [64, 64, 64], "batch": 1, "filters": [32, 64, 96, 128]},
}

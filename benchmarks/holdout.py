"""Real footage that no training sees, so that trackers and settings can be compared on it."""

# In `../shared/data/video`; none shares its video with another one.
HOLDOUT = (
    "VOT/ball1",
    "VOT/book",
    "UAV123_10fps/person11",
    "UAV123_10fps/group1_4",
    "TLD/car",
    "TLD/pedestrian2",
)

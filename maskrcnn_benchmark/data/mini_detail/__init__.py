"""The embedded data set: drawn scenes, written in PASCAL in Detail's layout."""

# {folder in DATASETS.DATA_DIR: options of `writing.write_mini_detail`} of the sets that are drawn when a run needs them
EMBEDDED: dict[str, dict[str, bool]] = {"mini_detail": {}, "mini_maps": {"maps": True}}

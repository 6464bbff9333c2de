"""Makes the embedded data set from the command line."""

from maskrcnn_benchmark.data.mini_detail.writing import main

if __name__ == "__main__":
    main()

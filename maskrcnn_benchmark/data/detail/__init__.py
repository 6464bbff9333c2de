"""PASCAL in Detail: its files, their index and checks, and the data set that reads them."""

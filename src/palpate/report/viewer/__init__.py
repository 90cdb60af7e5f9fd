"""A viewer of sample images: inside the page for small runs, served by `palpate view` for large ones and for several runs side by side."""

"""What the crawl brought and what the model knows, as one page to look at."""

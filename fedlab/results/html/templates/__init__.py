"""The texts a page is made from. They are modules, because Flower's bundles hold no HTML, CSS or JavaScript files."""

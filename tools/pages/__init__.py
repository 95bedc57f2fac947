"""Fill in the generated parts and the pictures of docs/, from docs/data and from the program.

``python -m tools.pages.NAME``
"""

"""What fits into other libraries; each module imports its library.

Callbacks that report for training loops, and a search in the manner of scikit-learn.
"""

"""The commands of ``python -m mpitrain``, one per module: each adds its parser and runs itself.

Nothing heavy is imported until a command runs: the launcher and ``--help`` load no NumPy.
"""

"""The parts of ``podium run checkup``: agents that look at one git repository.

They are ordinary agents and import nothing else of Podium. ``graph`` says which agents and tasks
a checkup needs; every part has ``run(input, ctx)`` and reads committed content only.
"""

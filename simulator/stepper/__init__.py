"""The systolic array at register level; `simulator.stepper.step` is the door."""

"""The receiver: takes alarms from the cloud and gives them to the ARC."""

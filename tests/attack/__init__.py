"""Attacks on a server, one file for each class, each with a control that must succeed."""

"""Retraining: how much worse are models that are trained without a feature?"""

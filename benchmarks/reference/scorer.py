"""J and F written down as DAVIS defines them, on whole pictures, one object at a time: the scorer's oracle."""

import math

import numpy as np
from scipy.ndimage import binary_dilation


def slow_region(truth, result, void):
    """Region similarity of one pair of boolean masks."""
    keep = ~void
    union = ((truth | result) & keep).sum()
    return 1.0 if union == 0 else (truth & result & keep).sum() / union


def slow_boundary(mask):
    """Boundary pixels of one boolean mask."""
    right, below, diagonal = np.zeros_like(mask), np.zeros_like(mask), np.zeros_like(mask)
    right[:, :-1] = mask[:, 1:]
    below[:-1] = mask[1:]
    diagonal[:-1, :-1] = mask[1:, 1:]
    edge = (mask != right) | (mask != below) | (mask != diagonal)
    edge[-1] = mask[-1] != right[-1]
    edge[:, -1] = mask[:, -1] != below[:, -1]
    edge[-1, -1] = False
    return edge


def slow_precision_recall(truth, result, void, tolerance):
    """Share of each boundary within the tolerance of the other."""
    height, width = truth.shape
    radius = math.ceil(tolerance if tolerance >= 1 else tolerance * math.sqrt(height**2 + width**2))
    dy, dx = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = dy**2 + dx**2 <= radius**2
    of_truth, of_result = slow_boundary(truth & ~void), slow_boundary(result & ~void)
    if not of_truth.any() and not of_result.any():
        return 1.0, 1.0
    if not of_result.any():
        return 1.0, 0.0
    if not of_truth.any():
        return 0.0, 1.0
    precision = (of_result & binary_dilation(of_truth, disc)).sum() / of_result.sum()
    recall = (of_truth & binary_dilation(of_result, disc)).sum() / of_truth.sum()
    return precision, recall


def slow_accuracy(truth, result, void, tolerance):
    """Boundary accuracy of one pair of boolean masks."""
    precision, recall = slow_precision_recall(truth, result, void, tolerance)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)

"""Strongly connected components of a directed graph."""

from collections.abc import Sequence


def components(successors: Sequence[Sequence[int]]) -> list[list[int]]:
    """The strongly connected components, in topological order (Tarjan, without recursion).

    Args:
        successors: For every node, the nodes it points to.

    Returns:
        Lists of nodes; an edge between two components points to the later one.

    Example:
        >>> components([[1], [2], [1], []])
        [[3], [0], [2, 1]]
    """
    n = len(successors)
    index, low, on_stack = [-1] * n, [0] * n, [False] * n
    stack: list[int] = []
    found: list[list[int]] = []
    counter = 0
    for root in range(n):
        if index[root] >= 0:
            continue
        work = [(root, iter(successors[root]))]
        while work:
            v, edges = work[-1]
            if index[v] < 0:
                index[v] = low[v] = counter
                counter += 1
                stack.append(v)
                on_stack[v] = True
            for w in edges:
                if index[w] < 0:
                    work.append((w, iter(successors[w])))
                    break
                if on_stack[w]:
                    low[v] = min(low[v], index[w])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[v])
                if low[v] == index[v]:
                    found.append([])
                    while on_stack[v]:
                        w = stack.pop()
                        on_stack[w] = False
                        found[-1].append(w)
    return found[::-1]

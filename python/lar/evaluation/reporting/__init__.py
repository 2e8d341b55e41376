"""One self-contained HTML file of what is known about an agent's logs and a vocabulary."""

from lar.evaluation.reporting.write import ReportFile, report

__all__ = ["ReportFile", "report"]

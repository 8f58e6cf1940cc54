import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """As a rank on a machine of two cores has; more only wait for one another where all is busy."""
    torch.set_num_threads(1)

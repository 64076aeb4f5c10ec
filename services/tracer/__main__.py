"""`python -m services.tracer`."""

from services.tracer.main import main

if __name__ == "__main__":
    main()

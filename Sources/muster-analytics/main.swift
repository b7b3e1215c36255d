import Web

serve("analytics", [])
